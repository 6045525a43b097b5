-- Migration: create files
-- Created: 2025-09-03T09:30:00Z
-- Description: Files of a project and every version ever uploaded. The bytes live in object storage.

CREATE TABLE files (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL,
  name text NOT NULL,
  created_by uuid,
  -- The bin: a deleted file can be taken back for thirty days.
  deleted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),

  CONSTRAINT files_pkey PRIMARY KEY (id),
  -- For foreign keys that must stay inside one project, as in messages.
  CONSTRAINT files_project_id_id_key UNIQUE (project_id, id),
  CONSTRAINT files_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT files_created_by_fkey FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
  -- Names become paths when a project is exported, on Windows too: no control characters, none of / \ : * ? " < > |
  CONSTRAINT files_name_check CHECK (name <> '' AND name !~ '[[:cntrl:]/\\:*?"<>|]')
);

CREATE INDEX files_created_by_idx ON files (created_by);

-- A name is taken only while its file is not in the bin, whatever its case: Windows and macOS do not tell them apart.
CREATE UNIQUE INDEX files_live_name_key ON files (project_id, lower(name)) WHERE deleted_at IS NULL;

CREATE TABLE file_versions (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  file_id uuid NOT NULL,
  -- 1, 2, 3 within a file: people say "version 3", so it is data and not a sequence.
  version_no integer NOT NULL,
  uploaded_by uuid,
  storage_url text NOT NULL,
  size_bytes bigint NOT NULL,
  sha256 bytea NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
  -- No updated_at: a version never changes.
  created_at timestamptz NOT NULL DEFAULT now(),

  CONSTRAINT file_versions_pkey PRIMARY KEY (id),
  CONSTRAINT file_versions_file_id_version_no_key UNIQUE (file_id, version_no),
  CONSTRAINT file_versions_file_id_fkey FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT file_versions_uploaded_by_fkey FOREIGN KEY (uploaded_by) REFERENCES users (id) ON DELETE SET NULL,
  CONSTRAINT file_versions_version_no_check CHECK (version_no > 0),
  CONSTRAINT file_versions_size_bytes_check CHECK (size_bytes >= 0),
  CONSTRAINT file_versions_sha256_check CHECK (octet_length(sha256) = 32),
  CONSTRAINT file_versions_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX file_versions_uploaded_by_idx ON file_versions (uploaded_by);
