schema "public" {
}

enum "state" {
  schema = schema.public
  values = ["a", "b", "c", "d"]
}

table "t" {
  schema = schema.public
  column "s" {
    null    = true
    type    = enum.state
    default = "b"
  }
}
