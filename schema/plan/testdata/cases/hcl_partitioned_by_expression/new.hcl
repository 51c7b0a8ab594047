schema "public" {
}

table "r" {
  schema = schema.public
  column "at" {
    type = timestamp
  }
  partition {
    type = RANGE
    by {
      expr = "date_trunc('day', at)"
    }
  }
}
