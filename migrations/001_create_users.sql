-- Migration: create users
-- Created: 2025-09-01T08:15:00Z
-- Description: The people of the studio and their clients. Everything later refers to this table.

CREATE TABLE users (
  -- gen_random_uuid() is built in, so the folder applies without any extension. UUIDs throughout: ids appear in
  -- links that leave the studio and must not tell a client how many users or projects there are.
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  email text NOT NULL,
  display_name text NOT NULL,
  avatar_url text,
  -- An account is switched off, not deleted, so that its projects keep an owner.
  deactivated_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),

  CONSTRAINT users_pkey PRIMARY KEY (id),
  -- Only a guard against swapped columns and stray blanks; the confirmation mail is the real check.
  CONSTRAINT users_email_check CHECK (email ~ '^[^@\s]+@[^@\s]+$'),
  CONSTRAINT users_display_name_check CHECK (display_name <> '' AND display_name = btrim(display_name)),
  CONSTRAINT users_avatar_url_check CHECK (avatar_url LIKE 'https://%')
);

-- People type their address in any case. An index on lower(email) needs no citext extension, but look-ups must say
-- lower(email) = lower($1) to use it.
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
