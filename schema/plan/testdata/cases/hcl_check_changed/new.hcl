schema "public" {
}

table "t" {
  schema = schema.public
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
  check "n_small" {
    expr = "n < 100"
  }
  check "n_positive" {
    expr = "n > 0"
  }
}
