-- Migration: create projects
-- Created: 2025-09-01T08:40:00Z
-- Description: Projects, their status and the people who work on them.

-- An enum, because the order is the order of work: ORDER BY status needs no CASE. Values can be added later, never
-- removed, so only what is certain goes in.
CREATE TYPE project_status AS ENUM ('draft', 'active', 'on_hold', 'done');

CREATE TABLE projects (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  owner_id uuid NOT NULL,
  name text NOT NULL,
  status project_status NOT NULL DEFAULT 'draft',
  -- What the canvas needs when it opens: read and written as a whole, never searched, hence not columns.
  settings jsonb NOT NULL DEFAULT '{"theme": "dark", "grid": {"snap": true, "size": 8}, "palette": []}'::jsonb,
  -- No foreign key yet: files comes two migrations later and refers back to projects.
  cover_file_id uuid,
  starts_on date,
  due_on date,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),

  CONSTRAINT projects_pkey PRIMARY KEY (id),
  -- RESTRICT: whoever owns work cannot be deleted; hand the project over first.
  CONSTRAINT projects_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users (id) ON DELETE RESTRICT,
  CONSTRAINT projects_name_check CHECK (btrim(name) <> ''),
  CONSTRAINT projects_settings_check CHECK (jsonb_typeof(settings) = 'object'),
  -- A NULL on either side gives NULL, and a CHECK lets NULL pass: an open end is allowed.
  CONSTRAINT projects_dates_check CHECK (due_on >= starts_on)
);

-- PostgreSQL indexes the referenced side of a foreign key only. Without this one, every delete of a user reads all
-- projects.
CREATE INDEX projects_owner_id_idx ON projects (owner_id);

CREATE TABLE project_members (
  project_id uuid NOT NULL,
  user_id uuid NOT NULL,
  -- Text with a CHECK, unlike the status: roles come and go, and a CHECK can lose a value.
  role text NOT NULL DEFAULT 'designer',
  joined_at timestamptz NOT NULL DEFAULT now(),

  -- The pair is the identity; a key of its own would let somebody join twice.
  CONSTRAINT project_members_pkey PRIMARY KEY (project_id, user_id),
  -- CASCADE: a membership means nothing without both ends.
  CONSTRAINT project_members_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT project_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  CONSTRAINT project_members_role_check CHECK (role IN ('lead', 'designer', 'reviewer', 'client'))
);

-- The primary key serves "who is in this project"; this serves "which projects is this user in".
CREATE INDEX project_members_user_id_idx ON project_members (user_id);

-- At most one lead a project. A partial index says it in one line, and no trigger can race.
CREATE UNIQUE INDEX project_members_one_lead_key ON project_members (project_id) WHERE role = 'lead';
