schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "a" {
    null    = true
    type    = int
    default = 2
  }
  column "b" {
    null = true
    type = text
  }
  column "c" {
    null    = true
    type    = timestamptz
    default = sql("now()")
  }
  column "d" {
    type    = boolean
    default = true
  }
  column "e" {
    type    = jsonb
    default = "{}"
  }
  column "f" {
    null    = true
    type    = sql("text[]")
    default = "{}"
  }
  primary_key {
    columns = [column.id]
  }
}
