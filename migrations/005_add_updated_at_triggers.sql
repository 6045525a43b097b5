-- Migration: add updated_at triggers
-- Created: 2025-09-05T15:20:00Z
-- Description: The database keeps updated_at. Left to the application, two of five code paths forgot it.

CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql
AS $function$
BEGIN
  -- now() is the start of the transaction: all rows changed together carry the same time.
  NEW.updated_at := now();
  RETURN NEW;
END;
$function$;

COMMENT ON FUNCTION set_updated_at() IS 'Trigger function for every table with an updated_at; see 005.';

-- One loop for the three tables that exist already. A table created later brings its own CREATE TRIGGER, so that one
-- file shows all of it.
DO $$
DECLARE
  target text;
  attached integer := 0;
BEGIN
  FOREACH target IN ARRAY ARRAY['users', 'projects', 'files'] LOOP
    EXECUTE format(
      'CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION set_updated_at();',
      target || '_set_updated_at', target
    );
    EXECUTE format(
      'COMMENT ON TRIGGER %I ON %I IS %L',
      target || '_set_updated_at', target, format('Keeps %s.updated_at; the application can''t forget it.', target)
    );
    attached := attached + 1;
  END LOOP;

  RAISE NOTICE '% triggers attached', attached;
END
$$;
