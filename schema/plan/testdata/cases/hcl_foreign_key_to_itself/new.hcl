schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "up" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "t_up" {
    columns     = [column.up]
    ref_columns = [column.id]
  }
}
