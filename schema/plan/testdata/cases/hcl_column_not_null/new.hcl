schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "a" {
    type = int
  }
  column "b" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
}
