-- Migration: add user settings (down)
-- Created: 2025-09-08T10:00:00Z
-- Description: Drops the table and every setting in it. set_updated_at() stays: it belongs to 005.

-- No CASCADE: should something have come to depend on the table, this must fail and not take it along.
DROP TABLE user_settings;
