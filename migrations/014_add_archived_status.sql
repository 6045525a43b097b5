-- Migration: add the status archived
-- Created: 2025-10-13T07:55:00Z
-- Description: A finished project can be put away without being deleted.

-- Alone in its file: a transaction may add a value but not use it before the commit, so 015 does the rest.
-- There is no down script: an enum cannot lose a value, and an unused one does no harm.
ALTER TYPE project_status ADD VALUE 'archived' AFTER 'done';
