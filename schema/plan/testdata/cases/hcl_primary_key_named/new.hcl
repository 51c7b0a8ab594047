schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  primary_key "t_pk" {
    columns = [column.id]
  }
}
