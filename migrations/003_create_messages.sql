-- Migration: create messages
-- Created: 2025-09-02T13:05:00Z
-- Description: Messages of a project, with threads and reactions.

CREATE TABLE messages (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  project_id uuid NOT NULL,
  -- NULL when the author's account was deleted: the conversation stays readable.
  author_id uuid,
  -- NULL for the message that opens a thread.
  parent_id uuid,
  body text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Set by the application when the author changes the text; "edited" is shown to readers, so a repair of the data
  -- must not set it. That is why there is no updated_at here.
  edited_at timestamptz,

  CONSTRAINT messages_pkey PRIMARY KEY (id),
  -- Redundant as a rule, but a foreign key can only refer to a unique key; see messages_parent_fkey.
  CONSTRAINT messages_project_id_id_key UNIQUE (project_id, id),
  CONSTRAINT messages_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT messages_author_id_fkey FOREIGN KEY (author_id) REFERENCES users (id) ON DELETE SET NULL,
  -- Two columns, so that a reply cannot answer a message of another project. Deleting the first message deletes its
  -- thread.
  CONSTRAINT messages_parent_fkey FOREIGN KEY (project_id, parent_id)
    REFERENCES messages (project_id, id) ON DELETE CASCADE,
  CONSTRAINT messages_parent_check CHECK (parent_id <> id),
  CONSTRAINT messages_body_check CHECK (char_length(body) BETWEEN 1 AND 10000)
);

CREATE INDEX messages_author_id_idx ON messages (author_id);

-- Most messages open a thread. Leaving them out keeps the index small, and "parent_id = $1" still implies NOT NULL.
CREATE INDEX messages_parent_id_idx ON messages (parent_id, created_at) WHERE parent_id IS NOT NULL;

CREATE TABLE message_reactions (
  message_id uuid NOT NULL,
  user_id uuid NOT NULL,
  emoji text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),

  -- Several emoji from one person are fine, the same one twice is not.
  CONSTRAINT message_reactions_pkey PRIMARY KEY (message_id, user_id, emoji),
  CONSTRAINT message_reactions_message_id_fkey FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE,
  CONSTRAINT message_reactions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
  -- In bytes, not characters: one family emoji is seven code points, and this is no place for text.
  CONSTRAINT message_reactions_emoji_check CHECK (octet_length(emoji) BETWEEN 1 AND 64)
);

CREATE INDEX message_reactions_user_id_idx ON message_reactions (user_id);
