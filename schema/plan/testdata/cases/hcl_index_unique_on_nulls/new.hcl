schema "public" {
}

table "t" {
  schema = schema.public
  column "a" {
    null = true
    type = int
  }
  column "b" {
    null = true
    type = int
  }
  index "u" {
    columns        = [column.a]
    unique         = true
    nulls_distinct = false
    comment        = "U."
  }
}
