schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = bigint
  }
  column "n" {
    null = true
    type = bigint
  }
  column "name" {
    null = true
    type = text
  }
  primary_key {
    columns = [column.id]
  }
  index "t_n" {
    columns = [column.n]
  }
}
