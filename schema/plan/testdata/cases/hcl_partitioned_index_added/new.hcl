schema "public" {
}

table "r" {
  schema = schema.public
  column "id" {
    null = true
    type = int
  }
  column "at" {
    type = date
  }
  index "r_id" {
    columns = [column.id]
  }
  partition {
    type    = RANGE
    columns = [column.at]
  }
}
