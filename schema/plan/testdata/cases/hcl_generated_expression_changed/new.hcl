schema "public" {
}

table "t" {
  schema = schema.public
  column "a" {
    null = true
    type = int
  }
  column "s" {
    null = true
    type = int
    as {
      expr = "a + 2"
      type = STORED
    }
  }
  column "v" {
    null = true
    type = int
    as {
      expr = "a + 2"
      type = VIRTUAL
    }
  }
}
