schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "price" {
    null         = true
    type         = int
    renamed_from = "cost"
  }
  primary_key {
    columns = [column.id]
  }
  index "t_price" {
    renamed_from = "t_cost"
    on {
      column = column.price
    }
  }
}
