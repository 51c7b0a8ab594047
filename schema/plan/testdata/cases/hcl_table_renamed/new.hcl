schema "public" {
}

table "purchases" {
  schema       = schema.public
  renamed_from = "orders"
  column "id" {
    type = int
  }
  column "n" {
    null = true
    type = int
  }
  primary_key {
    columns = [column.id]
  }
}

table "lines" {
  schema = schema.public
  column "o" {
    null = true
    type = int
  }
  foreign_key "lines_o_fkey" {
    columns     = [column.o]
    ref_columns = [table.purchases.column.id]
  }
}
