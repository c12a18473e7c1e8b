import LigerText

extension ChatFamilies {
    static let mistral1 = ChatFamily(
        name: "Mistral v1",
        template: """
            {{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}
            """,
        uses: [ChatFamily.plain, ChatFamily.answered, .refused(ChatConversations.withSystem, "system")])

    static let mistral3 = ChatFamily(
        name: "Mistral v3",
        template: """
            {%- if messages[0]["role"] == "system" %}
                {%- set guide = messages[0]["content"] %}
                {%- set turns = messages[1:] %}
            {%- else %}
                {%- set turns = messages %}
            {%- endif %}
            {%- if not tools is defined %}
                {%- set tools = none %}
            {%- endif %}
            {%- set asked = turns | selectattr("role", "equalto", "user") | list %}
            {%- set ns = namespace() %}
            {%- set ns.index = 0 %}
            {%- for message in turns %}
                {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
                    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
                        {{- raise_exception("After an optional system message, user and assistant must alternate") }}
                    {%- endif %}
                    {%- set ns.index = ns.index + 1 %}
                {%- endif %}
            {%- endfor %}
            {{- bos_token }}
            {%- for message in turns %}
                {%- if message["role"] == "user" %}
                    {%- if tools is not none and (message == asked[-1]) %}
                        {{- "[AVAILABLE_TOOLS] [" }}
                        {%- for tool in tools %}
                            {%- set tool = tool.function %}
                            {{- '{"type": "function", "function": {' }}
                            {%- for key, val in tool.items() if key != "return" %}
                                {%- if val is string %}
                                    {{- '"' + key + '": "' + val + '"' }}
                                {%- else %}
                                    {{- '"' + key + '": ' + val|tojson }}
                                {%- endif %}
                                {%- if not loop.last %}
                                    {{- ", " }}
                                {%- endif %}
                            {%- endfor %}
                            {{- "}}" }}
                            {%- if not loop.last %}
                                {{- ", " }}
                            {%- else %}
                                {{- "]" }}
                            {%- endif %}
                        {%- endfor %}
                        {{- "[/AVAILABLE_TOOLS]" }}
                    {%- endif %}
                    {%- if loop.last and guide is defined %}
                        {{- "[INST] " + guide + "\\n\\n" + message["content"] + "[/INST]" }}
                    {%- else %}
                        {{- "[INST] " + message["content"] + "[/INST]" }}
                    {%- endif %}
                {%- elif message.tool_calls is defined and message.tool_calls is not none %}
                    {{- "[TOOL_CALLS] [" }}
                    {%- for call in message.tool_calls %}
                        {%- set out = call.function|tojson %}
                        {{- out[:-1] }}
                        {%- if not call.id is defined or call.id|length != 9 %}
                            {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
                        {%- endif %}
                        {{- ', "id": "' + call.id + '"}' }}
                        {%- if not loop.last %}
                            {{- ", " }}
                        {%- else %}
                            {{- "]" + eos_token }}
                        {%- endif %}
                    {%- endfor %}
                {%- elif message["role"] == "assistant" %}
                    {{- " " + message["content"]|trim + eos_token}}
                {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
                    {%- if message.content is defined and message.content.content is defined %}
                        {%- set content = message.content.content %}
                    {%- else %}
                        {%- set content = message.content %}
                    {%- endif %}
                    {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
                    {%- if not message.tool_call_id is defined or message.tool_call_id|length != 9 %}
                        {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
                    {%- endif %}
                    {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
                {%- else %}
                    {{- raise_exception("Only user, assistant, system and tool roles are supported!") }}
                {%- endif %}
            {%- endfor %}
            """,
        uses: ChatFamily.basics + [
            ChatFamily.tools, ChatFamily.twoCalls, ChatFamily.offered,
            .refused(ChatConversations.startsWithAssistant, "order"),
            .refused(ChatConversations.strangeRole, "role"),
        ])

    static let mistral7 = ChatFamily(
        name: "Mistral v7",
        template: """
            {%- set today = strftime_now("%Y-%m-%d") %}
            {%- set default_guide = "You are an assistant. The current date is " + today + ".\\n\\nAsk when \\"in doubt\\"." %}
            {{- bos_token }}
            {%- if messages[0]['role'] == 'system' %}
                {%- if messages[0]['content'] is string %}
                    {%- set guide = messages[0]['content'] %}
                {%- else %}
                    {%- set guide = messages[0]['content'][0]['text'] %}
                {%- endif %}
                {%- set turns = messages[1:] %}
            {%- else %}
                {%- set guide = default_guide %}
                {%- set turns = messages %}
            {%- endif %}
            {{- '[SYSTEM_PROMPT]' + guide + '[/SYSTEM_PROMPT]' }}
            {%- for message in turns %}
                {%- if message['role'] == 'user' %}
                    {%- if message['content'] is string %}
                        {{- '[INST]' + message['content'] + '[/INST]' }}
                    {%- else %}
                        {{- '[INST]' }}
                        {%- for block in message['content'] %}
                            {%- if block['type'] == 'text' %}
                                {{- block['text'] }}
                            {%- elif block['type'] in ['image', 'image_url'] %}
                                {{- '[IMG]' }}
                            {%- else %}
                                {{- raise_exception('Only text and image blocks are supported in message content!') }}
                            {%- endif %}
                        {%- endfor %}
                        {{- '[/INST]' }}
                    {%- endif %}
                {%- elif message['role'] == 'system' %}
                    {{- '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' }}
                {%- elif message['role'] == 'assistant' %}
                    {%- if message['content'] is string %}
                        {{- message['content'] + eos_token }}
                    {%- else %}
                        {{- message['content'][0]['text'] + eos_token }}
                    {%- endif %}
                {%- else %}
                    {{- raise_exception('Only user, system and assistant roles are supported!') }}
                {%- endif %}
            {%- endfor %}
            """,
        uses: ChatFamily.basics + [ChatFamily.parts, .refused(ChatConversations.strangeRole, "role")])
}
