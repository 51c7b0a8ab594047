schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "n" {
    type    = int
    default = 7
  }
  column "note" {
    null = true
    type = text
  }
  primary_key {
    columns = [column.id]
  }
}
