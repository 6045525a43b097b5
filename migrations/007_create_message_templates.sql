-- Migration: create message templates
-- Created: 2025-09-10T07:45:00Z
-- Description: Texts the studio sends again and again, with the first set of them.

CREATE TABLE message_templates (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  -- What the code asks for: template('launch', 'de').
  key text NOT NULL,
  locale text NOT NULL DEFAULT 'en',
  -- Words such as :name are filled in by the application, not by SQL.
  body text NOT NULL,
  placeholders text[] NOT NULL DEFAULT '{}'::text[],
  -- Local time of the reader, so without a zone. NULL: at once.
  send_at time,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),

  CONSTRAINT message_templates_pkey PRIMARY KEY (id),
  CONSTRAINT message_templates_key_locale_key UNIQUE (key, locale),
  CONSTRAINT message_templates_key_check CHECK (key ~ '^[a-z][a-z0-9_]*$'),
  CONSTRAINT message_templates_locale_check CHECK (locale ~ '^[a-z]{2}(-[A-Z]{2})?$')
);

CREATE TRIGGER message_templates_set_updated_at
  BEFORE UPDATE ON message_templates
  FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- Reference data: the code looks for these keys, so they travel with the schema. Colons, percent signs, backslashes
-- and question marks are plain text here and must arrive as they stand; 'S:\Exports\:project\' ends in a backslash,
-- which standard SQL does not treat as an escape.
INSERT INTO message_templates (key, locale, body, placeholders, send_at) VALUES
  ('launch', 'en', 'Launch at 09:30: 100% done', '{}', '09:30:00'),
  ('launch', 'de', 'Start um 09:30 Uhr: 100 % fertig – schöne Grüße!', '{}', '09:30:00'),
  ('welcome', 'en', 'Hello :name, it''s good to have you. See https://studio.example.com/tour?step=1&from=mail#top',
    ARRAY['name'], NULL),
  ('deposit', 'en', '50% of :amount received; the rest is due on :date.', ARRAY['amount', 'date'], '12:00:00'),
  ('export_ready', 'en', 'Your export is in S:\Exports\:project\', ARRAY['project'], NULL),
  ('export_failed', 'en', 'Did :name move "final_v2 (really).fig"? 50%_off.png; logo.svg -- neither was found',
    ARRAY['name'], NULL),
  -- E'' where the text needs a line break; dollar quotes where it is full of quotes.
  ('digest', 'en', E'Your day, :name:\n\t\u2022 :count new messages\n\t\u2022 100%% means "all", not \'most\'',
    ARRAY['name', 'count'], '17:45:00'),
  ('feedback', 'en',
    $text$What's it like: "great", 'good' or /* no comment */? Answer with $1, {name} or %(name)s.$text$,
    '{}', '12:00:00');
