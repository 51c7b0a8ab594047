schema "public" {
}

table "l" {
  schema = schema.public
  column "k" {
    null = true
    type = text
  }
  partition {
    type    = LIST
    columns = [column.k]
  }
}

table "h" {
  schema = schema.public
  column "id" {
    type = int
  }
  partition {
    type    = HASH
    columns = [column.id]
  }
}
