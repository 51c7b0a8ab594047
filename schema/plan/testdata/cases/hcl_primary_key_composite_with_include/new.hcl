schema "public" {
}

table "t" {
  schema = schema.public
  column "a" {
    type = int
  }
  column "b" {
    type = int
  }
  column "c" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.a, column.b]
    include = [column.c]
  }
}
