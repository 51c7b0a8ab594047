schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "kept" {
    null = true
    type = text
  }
  primary_key {
    columns = [column.id]
  }
}
