CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER guards ON ddl_command_end EXECUTE FUNCTION guard();
