schema "public" {
}

enum "state" {
  schema = schema.public
  values = ["a", "b"]
}

table "t" {
  schema = schema.public
  column "id" {
    null = true
    type = int
  }
  column "many" {
    null = true
    type = sql("public.state[]")
  }
}
