schema "public" {
}

table "p" {
  schema = schema.public
  column "a" {
    type = int
  }
  column "b" {
    type = int
  }
  primary_key {
    columns = [column.a, column.b]
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
  foreign_key "c_p" {
    columns     = [column.a, column.b]
    ref_columns = [table.p.column.a, table.p.column.b]
  }
}
