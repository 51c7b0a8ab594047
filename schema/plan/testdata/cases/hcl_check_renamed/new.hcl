schema "public" {
}

table "t" {
  schema = schema.public
  column "n" {
    null = true
    type = int
  }
  check "b" {
    expr         = "n > 0"
    renamed_from = "a"
  }
}
