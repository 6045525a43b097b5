-- Migration: add user settings
-- Created: 2025-09-08T10:00:00Z
-- Description: Theme and notification settings, one row for each user who changed something.

CREATE TABLE user_settings (
  -- The user is the key: one row each, and no index of its own for the foreign key.
  user_id uuid NOT NULL,
  theme text NOT NULL DEFAULT 'system',
  -- A user without a row gets the same values from the application; keep the two in step.
  notifications jsonb NOT NULL DEFAULT '{
    "email": {"enabled": true, "digest": "daily", "at": "08:30:00"},
    "push": {"enabled": false, "quiet": ["22:00:00", "07:00:00"]}
  }'::jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),

  CONSTRAINT user_settings_pkey PRIMARY KEY (user_id),
  CONSTRAINT user_settings_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  CONSTRAINT user_settings_theme_check CHECK (theme IN ('light', 'dark', 'system')),
  -- The sender reads both keys without asking whether they are there.
  CONSTRAINT user_settings_notifications_check CHECK (
    jsonb_typeof(notifications) = 'object' AND notifications ?& ARRAY['email', 'push']
  )
);

CREATE TRIGGER user_settings_set_updated_at
  BEFORE UPDATE ON user_settings
  FOR EACH ROW EXECUTE FUNCTION set_updated_at();
