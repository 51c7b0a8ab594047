schema "public" {
}

table "Order" {
  schema = schema.public
  column "from" {
    type = int
  }
  column "a-b" {
    null    = true
    type    = text
    default = "it's"
  }
  check "from is positive" {
    expr = "\"from\" > 0"
  }
  index "by from" {
    columns = [column.from]
  }
}
