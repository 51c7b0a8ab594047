schema "public" {
}

schema "app" {
  comment = "The application."
}

enum "k" {
  schema = schema.app
  values = ["x"]
}

table "a" {
  schema = schema.public
  column "id" {
    type = int
  }
  primary_key {
    columns = [column.id]
  }
}

table "b" {
  schema = schema.app
  column "id" {
    type = int
  }
  column "k" {
    null = true
    type = enum.k
  }
  primary_key {
    columns = [column.id]
  }
  foreign_key "b_a" {
    columns     = [column.id]
    ref_columns = [table.a.column.id]
  }
}
