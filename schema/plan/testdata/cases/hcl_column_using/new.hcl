schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "at" {
    null  = true
    type  = timestamptz
    using = "to_timestamp(at)"
  }
  primary_key {
    columns = [column.id]
  }
}
