-- Migration: add template category
-- Created: 2025-09-22T09:00:00Z
-- Description: Groups the message templates, so that a reader can switch off one group.

/*
  Three steps: a column that may be NULL, the backfill, then NOT NULL.

  A DEFAULT in ADD COLUMN would be quicker to write, and cheap too:
  /* since version 11 PostgreSQL stores one value for all old rows; nothing is rewritten */
  but no value is right for every row, and a template filed wrongly is one that people cannot switch off.
*/
ALTER TABLE message_templates ADD COLUMN category text;

-- A backfill is no edit: with the trigger on, every template would look changed today.
ALTER TABLE message_templates DISABLE TRIGGER message_templates_set_updated_at;

DO $backfill$
DECLARE
  filled bigint := 0;
  missing text;
BEGIN
  UPDATE message_templates
  SET category = CASE
    -- "50%" itself at the start, then anything: the first percent sign is escaped, the second is the wildcard.
    WHEN body LIKE '50\%%' THEN 'billing'
    WHEN key LIKE 'export\_%' THEN 'files'
    WHEN key IN ('launch', 'digest') THEN 'schedule'
    WHEN key IN ('welcome', 'feedback') THEN 'studio'
  END
  WHERE category IS NULL;

  GET DIAGNOSTICS filled = ROW_COUNT;

  -- SET NOT NULL would fail as well, but could not say which template somebody added in the meantime.
  SELECT string_agg(format('%s (%L)', key, locale), ', ' ORDER BY key, locale)
  INTO missing
  FROM message_templates
  WHERE category IS NULL;

  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'templates without a category: %', missing
      USING HINT = 'Add their keys to the CASE in this file: nothing was changed.';
  END IF;

  RAISE NOTICE '% rows filled, 100%% of %', filled, 'message_templates';
END
$backfill$;

ALTER TABLE message_templates ENABLE TRIGGER message_templates_set_updated_at;

ALTER TABLE message_templates
  ALTER COLUMN category SET NOT NULL,
  ADD CONSTRAINT message_templates_category_check CHECK (category IN ('billing', 'files', 'schedule', 'studio'));
