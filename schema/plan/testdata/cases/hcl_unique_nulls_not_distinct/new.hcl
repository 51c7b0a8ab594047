schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "a" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
  unique "t_a" {
    columns        = [column.a]
    nulls_distinct = false
    comment        = "One."
  }
}
