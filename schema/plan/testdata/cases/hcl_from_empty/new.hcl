schema "public" {
}

enum "state" {
  schema = schema.public
  values = ["new", "done"]
}

table "a" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "s" {
    type    = enum.state
    default = "new"
  }
  primary_key {
    columns = [column.id]
  }
}

table "b" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "a_id" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "b_a" {
    columns     = [column.a_id]
    ref_columns = [table.a.column.id]
    on_delete   = SET_NULL
  }
}
