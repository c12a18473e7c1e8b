// For the library itself: the thread's last message.
#ifndef LIGER_MESSAGE_H
#define LIGER_MESSAGE_H

/// Keeps a copy of a text as this thread's last message.
void liger_internal_keep_message(const char *text);

#endif
