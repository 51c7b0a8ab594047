schema "public" {
}

table "t" {
  schema  = schema.public
  comment = "T."
  column "id" {
    type = int
  }
  column "a" {
    null    = true
    type    = text
    comment = "It's \"A\"."
  }
  primary_key {
    columns = [column.id]
  }
}
