import LigerText

extension ChatFamilies {
    static let qwen25 = ChatFamily(
        name: "Qwen 2.5",
        template: """
            {%- if tools %}
                {{- '<|im_start|>system\\n' }}
                {%- if messages[0]['role'] == 'system' %}
                    {{- messages[0]['content'] }}
                {%- else %}
                    {{- 'You help people.' }}
                {%- endif %}
                {{- "\\n\\n# Tools\\n\\nThese may be called:\\n<tools>" }}
                {%- for tool in tools %}
                    {{- "\\n" }}
                    {{- tool | tojson }}
                {%- endfor %}
                {{- "\\n</tools>\\n\\nA call is JSON within tags:\\n<tool_call>\\n{\\"name\\": <name>, \\"arguments\\": <object>}\\n</tool_call><|im_end|>\\n" }}
            {%- else %}
                {%- if messages[0]['role'] == 'system' %}
                    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
                {%- else %}
                    {{- '<|im_start|>system\\nYou help people.<|im_end|>\\n' }}
                {%- endif %}
            {%- endif %}
            {%- for message in messages %}
                {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
                    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
                {%- elif message.role == "assistant" %}
                    {{- '<|im_start|>' + message.role }}
                    {%- if message.content %}
                        {{- '\\n' + message.content }}
                    {%- endif %}
                    {%- for tool_call in message.tool_calls %}
                        {%- if tool_call.function is defined %}
                            {%- set tool_call = tool_call.function %}
                        {%- endif %}
                        {{- '\\n<tool_call>\\n{"name": "' }}
                        {{- tool_call.name }}
                        {{- '", "arguments": ' }}
                        {{- tool_call.arguments | tojson }}
                        {{- '}\\n</tool_call>' }}
                    {%- endfor %}
                    {{- '<|im_end|>\\n' }}
                {%- elif message.role == "tool" %}
                    {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
                        {{- '<|im_start|>user' }}
                    {%- endif %}
                    {{- '\\n<tool_response>\\n' }}
                    {{- message.content }}
                    {{- '\\n</tool_response>' }}
                    {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
                        {{- '<|im_end|>\\n' }}
                    {%- endif %}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|im_start|>assistant\\n' }}
            {%- endif %}
            """,
        uses: ChatFamily.basics + [ChatFamily.tools, ChatFamily.twoCalls, ChatFamily.offered])

    static let qwen3 = ChatFamily(
        name: "Qwen 3",
        template: """
            {%- if tools %}
                {{- '<|im_start|>system\\n' }}
                {%- if messages[0].role == 'system' %}
                    {{- messages[0].content + '\\n\\n' }}
                {%- endif %}
                {{- "# Tools\\n<tools>" }}
                {%- for tool in tools %}
                    {{- "\\n" }}
                    {{- tool | tojson }}
                {%- endfor %}
                {{- "\\n</tools><|im_end|>\\n" }}
            {%- else %}
                {%- if messages[0].role == 'system' %}
                    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
                {%- endif %}
            {%- endif %}
            {%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
            {%- for message in messages[::-1] %}
                {%- set index = (messages|length - 1) - loop.index0 %}
                {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
                    {%- set ns.multi_step_tool = false %}
                    {%- set ns.last_query_index = index %}
                {%- endif %}
            {%- endfor %}
            {%- for message in messages %}
                {%- if message.content is string %}
                    {%- set content = message.content %}
                {%- else %}
                    {%- set content = '' %}
                {%- endif %}
                {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
                    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
                {%- elif message.role == "assistant" %}
                    {%- set reasoning_content = '' %}
                    {%- if message.reasoning_content is string %}
                        {%- set reasoning_content = message.reasoning_content %}
                    {%- else %}
                        {%- if '</think>' in content %}
                            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
                        {%- endif %}
                    {%- endif %}
                    {%- if loop.index0 > ns.last_query_index %}
                        {%- if loop.last or (not loop.last and reasoning_content) %}
                            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
                        {%- else %}
                            {{- '<|im_start|>' + message.role + '\\n' + content }}
                        {%- endif %}
                    {%- else %}
                        {{- '<|im_start|>' + message.role + '\\n' + content }}
                    {%- endif %}
                    {%- if message.tool_calls %}
                        {%- for tool_call in message.tool_calls %}
                            {%- if (loop.first and content) or (not loop.first) %}
                                {{- '\\n' }}
                            {%- endif %}
                            {%- if tool_call.function %}
                                {%- set tool_call = tool_call.function %}
                            {%- endif %}
                            {{- '<tool_call>\\n{"name": "' }}
                            {{- tool_call.name }}
                            {{- '", "arguments": ' }}
                            {%- if tool_call.arguments is string %}
                                {{- tool_call.arguments }}
                            {%- else %}
                                {{- tool_call.arguments | tojson }}
                            {%- endif %}
                            {{- '}\\n</tool_call>' }}
                        {%- endfor %}
                    {%- endif %}
                    {{- '<|im_end|>\\n' }}
                {%- elif message.role == "tool" %}
                    {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
                        {{- '<|im_start|>user' }}
                    {%- endif %}
                    {{- '\\n<tool_response>\\n' }}
                    {{- content }}
                    {{- '\\n</tool_response>' }}
                    {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
                        {{- '<|im_end|>\\n' }}
                    {%- endif %}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|im_start|>assistant\\n' }}
                {%- if enable_thinking is defined and enable_thinking is false %}
                    {{- '<think>\\n\\n</think>\\n\\n' }}
                {%- endif %}
            {%- endif %}
            """,
        uses: ChatFamily.basics + [
            ChatFamily.tools, ChatFamily.twoCalls, ChatFamily.thinking,
            .init(
                name: "not thinking", messages: ChatConversations.plain, variables: ["enable_thinking": false]
            ),
            .init(name: "older reasoning", messages: ChatConversations.older),
        ])

    static let smolLM3 = ChatFamily(
        name: "SmolLM3",
        template: """
            {%- set default_guide = "You are a helpful assistant." -%}
            {%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
            {%- set reasoning_mode = "/think" if enable_thinking else "/no_think" -%}
            {%- if messages[0].role == "system" -%}
              {%- set system_message = messages[0].content -%}
              {%- if "/no_think" in system_message -%}
                {%- set reasoning_mode = "/no_think" -%}
              {%- elif "/think" in system_message -%}
                {%- set reasoning_mode = "/think" -%}
              {%- endif -%}
              {%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() -%}
            {%- endif -%}
            {{- "<|im_start|>system\\n" -}}
            {%- if "/system_override" in (system_message | default("")) -%}
              {{- custom_instructions.replace("/system_override", "").rstrip() -}}
              {{- "<|im_end|>\\n" -}}
            {%- else -%}
              {{- "## Metadata\\n\\n" -}}
              {{- "Knowledge Cutoff Date: June 2025\\n" -}}
              {%- set today = strftime_now("%d %B %Y") -%}
              {{- "Today Date: " ~ today ~ "\\n" -}}
              {{- "Reasoning Mode: " + reasoning_mode + "\\n\\n" -}}
              {{- "## Custom Instructions\\n\\n" -}}
              {%- if custom_instructions -%}
                {{- custom_instructions + "\\n\\n" -}}
              {%- elif reasoning_mode == "/think" -%}
                {{- default_guide + " Think first.\\n\\n" -}}
              {%- else -%}
                {{- default_guide + "\\n\\n" -}}
              {%- endif -%}
              {%- if xml_tools or python_tools or tools -%}
                {{- "### Tools\\n\\n" -}}
                {%- if xml_tools or tools -%}
                  {%- if tools -%}{%- set xml_tools = tools -%}{%- endif -%}
                  {%- set ns = namespace(xml_tool_string="Signatures within <tools></tools>:\\n\\n<tools>\\n") -%}
                  {%- for tool in xml_tools[:] -%}
                    {%- set ns.xml_tool_string = ns.xml_tool_string ~ (tool | string) ~ "\\n" -%}
                  {%- endfor -%}
                  {{- ns.xml_tool_string + "</tools>" -}}
                {%- endif -%}
                {{- "\\n\\n" -}}
                {{- "<|im_end|>\\n" -}}
              {%- endif -%}
            {%- endif -%}
            {%- for message in messages -%}
              {%- set content = message.content if message.content is string else "" -%}
              {%- if message.role == "user" -%}
                {{ "<|im_start|>" + message.role + "\\n" + content + "<|im_end|>\\n" }}
              {%- elif message.role == "assistant" -%}
                {% generation %}
                {%- if reasoning_mode == "/think" -%}
                  {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
                {%- else -%}
                  {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
                {%- endif -%}
                {% endgeneration %}
              {%- elif message.role == "tool" -%}
                {{ "<|im_start|>" + "user\\n" + content + "<|im_end|>\\n" }}
              {%- endif -%}
            {%- endfor -%}
            {%- if add_generation_prompt -%}
              {%- if reasoning_mode == "/think" -%}
                {{ "<|im_start|>assistant\\n" }}
              {%- else -%}
                {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" }}
              {%- endif -%}
            {%- endif -%}
            """,
        uses: ChatFamily.basics + [
            ChatFamily.tools, ChatFamily.twoCalls, ChatFamily.thinking,
            .init(
                name: "not thinking", messages: ChatConversations.withSystem,
                variables: ["enable_thinking": false]),
        ])
}
