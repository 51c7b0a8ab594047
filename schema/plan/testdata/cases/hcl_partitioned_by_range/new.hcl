schema "public" {
}

table "r" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "at" {
    type = timestamptz
  }
  primary_key {
    columns = [column.id, column.at]
  }
  index "r_at" {
    columns = [column.at]
  }
  partition {
    type    = RANGE
    columns = [column.at]
  }
}
