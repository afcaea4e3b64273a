// What every page does. Each part is a module of its own; pages add theirs.

import "./live.js";
import "./drawn.js";
import "./toasts.js";
import "./dialogs.js";
import "./frame.js";
import "./palette.js";
import "./keys.js";
import "./widgets.js";
import "./drafts.js";
