schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = serial
  }
  column "big" {
    type = bigserial
  }
  column "name" {
    null = true
    type = text
  }
  primary_key {
    columns = [column.id]
  }
}
