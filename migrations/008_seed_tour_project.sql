-- Migration: seed the tour project
-- Created: 2025-09-10T11:10:00Z
-- Description: The sample project every new studio opens first: „Zoë – Grundriß ✏️“, a flat being redrawn.

-- Rows find each other by natural keys and RETURNING; no id is written down, so none can clash with real data.
INSERT INTO users (email, display_name, avatar_url) VALUES
  ('zoe@example.com', 'Zoë Brandt', 'https://cdn.example.com/avatars/zo%C3%AB.png?size=96:96'),
  ('mads@example.com', 'Mads Sørensen', NULL),
  ('aoife@example.com', 'Aoife O''Brien', NULL);

INSERT INTO user_settings (user_id, theme, notifications)
SELECT
  id,
  'light',
  '{"email": {"enabled": true, "digest": "never", "at": "12:00:00"}, "push": {"enabled": true, "quiet": []}}'::jsonb
FROM users
WHERE email = 'zoe@example.com';

-- No dates: a sample must not be overdue on the day somebody opens it.
WITH tour AS (
  INSERT INTO projects (owner_id, name, status, settings)
  SELECT
    id,
    'Zoë – Grundriß ✏️',
    'active',
    '{"theme": "light", "grid": {"snap": true, "size": 4}, "palette": ["#0B7A75", "#D7C9AA"]}'::jsonb
  FROM users
  WHERE email = 'zoe@example.com'
  RETURNING id
)
INSERT INTO project_members (project_id, user_id, role)
SELECT tour.id, users.id, seats.role
FROM tour
CROSS JOIN (
  VALUES ('zoe@example.com', 'lead'), ('mads@example.com', 'designer'), ('aoife@example.com', 'client')
) AS seats (email, role)
JOIN users ON users.email = seats.email;

-- One thread: a question, two answers, a reaction. The times are fixed so that the tour always reads in order.
WITH tour AS (
  SELECT id FROM projects WHERE name = 'Zoë – Grundriß ✏️'
), question AS (
  INSERT INTO messages (project_id, author_id, body, created_at)
  SELECT
    tour.id,
    users.id,
    'Two drawings of the kitchen are up: which walls move? 50% more light at 12:00:00, so window:wall is 1:2.',
    '2025-09-15 07:30:00+00'
  FROM tour, users
  WHERE users.email = 'zoe@example.com'
  RETURNING id, project_id
), answers AS (
  INSERT INTO messages (project_id, author_id, parent_id, body, created_at)
  SELECT question.project_id, users.id, question.id, replies.body, replies.created_at
  FROM question
  CROSS JOIN (
    VALUES
      ('mads@example.com', 'Moving the north wall. Sketch: \\studio\plans\küche_v2.pdf 📐',
        '2025-09-15 08:05:00+00'::timestamptz),
      ('aoife@example.com', 'Lovely – don''t touch the "blue" one; it''s 100% load-bearing :)',
        '2025-09-15 09:30:00+00'::timestamptz)
  ) AS replies (email, body, created_at)
  JOIN users ON users.email = replies.email
)
INSERT INTO message_reactions (message_id, user_id, emoji)
SELECT question.id, users.id, '✏️'
FROM question, users
WHERE users.email = 'mads@example.com';

WITH drawing AS (
  INSERT INTO files (project_id, name, created_by)
  SELECT projects.id, 'Grundriß_Küche-v2.pdf', users.id
  FROM projects, users
  WHERE projects.name = 'Zoë – Grundriß ✏️' AND users.email = 'mads@example.com'
  RETURNING id, project_id, created_by
), covered AS (
  -- A file and a project that refer to each other: both in one statement, as the file's id is known only here.
  UPDATE projects SET cover_file_id = drawing.id FROM drawing WHERE projects.id = drawing.project_id
)
INSERT INTO file_versions (file_id, version_no, uploaded_by, storage_url, size_bytes, sha256, metadata)
SELECT
  drawing.id,
  versions.version_no,
  drawing.created_by,
  format('https://files.example.com/tour/grundri%%C3%%9F?v=%s', versions.version_no),
  versions.size_bytes,
  sha256(convert_to('tour drawing ' || versions.version_no, 'UTF8')),
  jsonb_build_object('scale', '1:50', 'pages', versions.version_no)
FROM drawing
CROSS JOIN (VALUES (1, 182044), (2, 190337)) AS versions (version_no, size_bytes);
