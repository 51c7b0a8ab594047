schema "public" {}

enum "feeling" {
  schema       = schema.public
  values       = ["bad", "ok"]
  renamed_from = "mood"
}

table "purchases" {
  schema       = schema.public
  renamed_from = "orders"
  column "id" {
    type = int
    null = false
  }
  column "amount" {
    type         = int
    null         = true
    renamed_from = "total"
    using        = "length(total)"
  }
  column "m" {
    type = enum.feeling
    null = true
  }
  primary_key {
    columns = [column.id]
  }
  check "d" {
    expr         = "id > 0"
    renamed_from = "c"
  }
  index "purchases_m" {
    columns      = [column.m]
    renamed_from = "orders_m"
  }
}
