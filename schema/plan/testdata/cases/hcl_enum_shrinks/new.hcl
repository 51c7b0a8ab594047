schema "public" {
}

enum "state" {
  schema = schema.public
  values = ["c", "a"]
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "s" {
    type = enum.state
  }
  primary_key {
    columns = [column.id]
  }
  index "t_s" {
    columns = [column.s]
  }
}
