schema "public" {
}

table "t" {
  schema = schema.public
  column "a" {
    null = true
    type = int
  }
  column "b" {
    null = true
    type = int
  }
  column "s" {
    null = true
    type = int
    as {
      expr = "a + b"
      type = STORED
    }
  }
}
