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
  index "i" {
    on {
      column = column.a
      desc   = true
    }
    on {
      column      = column.b
      nulls_first = true
    }
  }
}
