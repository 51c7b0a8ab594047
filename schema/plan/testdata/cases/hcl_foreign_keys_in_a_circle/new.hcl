schema "public" {
}

table "a" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "b" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "a_b" {
    columns     = [column.b]
    ref_columns = [table.b.column.id]
  }
}

table "b" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "a" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "b_a" {
    columns     = [column.a]
    ref_columns = [table.a.column.id]
  }
}
