schema "public" {
}

table "p" {
  schema = schema.public
  column "id" {
    type = int
  }
  primary_key {
    columns = [column.id]
  }
}

table "c" {
  schema = schema.public
  column "a" {
    null = true
    type = int
  }
  column "b" {
    null = true
    type = int
  }
  foreign_key "c_a" {
    columns     = [column.a]
    ref_columns = [table.p.column.id]
    on_delete   = CASCADE
    on_update   = RESTRICT
  }
  foreign_key "c_b" {
    columns     = [column.b]
    ref_columns = [table.p.column.id]
    on_delete   = SET_DEFAULT
  }
}
