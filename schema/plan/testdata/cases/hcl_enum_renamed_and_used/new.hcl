schema "public" {
}

enum "feeling" {
  schema       = schema.public
  values       = ["a", "b"]
  renamed_from = "mood"
}

table "t" {
  schema = schema.public
  column "m" {
    null = true
    type = enum.feeling
  }
}
