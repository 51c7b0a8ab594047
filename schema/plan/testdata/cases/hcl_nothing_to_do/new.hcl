schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "name" {
    type    = text
    default = "x"
  }
  primary_key {
    columns = [column.id]
  }
  index "t_name" {
    columns = [column.name]
  }
}
