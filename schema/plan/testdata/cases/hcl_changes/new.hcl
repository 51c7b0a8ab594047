schema "public" {}
enum "status" {
  schema = schema.public
  values = ["new", "old"]
}
table "users" {
  schema = schema.public
  column "id" {
    type = bigint
    identity { generated = ALWAYS }
  }
  column "name" {
    type = varchar(100)
  }
  column "status" {
    type    = enum.status
    default = "new"
  }
  primary_key { columns = [column.id] }
  check "name_set" { expr = "name <> ''" }
  unique "users_name" { columns = [column.name] }
}
table "posts" {
  schema = schema.public
  column "id" { type = uuid }
  column "user_id" { type = bigint }
  column "at" { type = timestamptz }
  primary_key { columns = [column.id, column.at] }
  foreign_key "by" {
    columns     = [column.user_id]
    ref_columns = [table.users.column.id]
    on_delete   = CASCADE
  }
  partition {
    type    = RANGE
    columns = [column.at]
  }
}
