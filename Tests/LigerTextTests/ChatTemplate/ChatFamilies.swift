import LigerText

/// Templates in the style of the supported families, written for these tests: what each family's conversations look like,
/// and the constructs that its own template reads them with.
enum ChatFamilies {
    static let cases: [ChatCase] =
        (chatML + [
            llama2, llama3, mistral1, mistral3, mistral7, qwen25, qwen3, gemma2, gemma3, phi3, phi4, olmo2,
            granite, glm4, smolLM3,
            zephyr, deepSeek, marked, commandLike,
        ]).flatMap(\.cases)

    static let chatML = [
        ChatFamily(
            name: "ChatML in one line",
            template:
                "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            uses: ChatFamily.basics),
        ChatFamily(
            name: "ChatML with a default",
            template: """
                {%- if messages[0].role != "system" %}<|im_start|>system
                You help.<|im_end|>
                {% endif %}
                {%- for message in messages %}
                <|im_start|>{{ message.role }}
                {{ message.content }}<|im_end|>
                {% endfor %}
                {%- if add_generation_prompt %}
                <|im_start|>assistant
                {% endif %}
                """,
            uses: ChatFamily.basics + [.init(name: "older reasoning", messages: ChatConversations.older)]),
    ]

    static let zephyr = ChatFamily(
        name: "Zephyr",
        template: """
            {% for message in messages %}
            {% if message['role'] == 'user' %}
            {{ '<|user|>\\n' + message['content'] + eos_token }}
            {% elif message['role'] == 'system' %}
            {{ '<|system|>\\n' + message['content'] + eos_token }}
            {% elif message['role'] == 'assistant' %}
            {{ '<|assistant|>\\n'  + message['content'] + eos_token }}
            {% endif %}
            {% if loop.last and add_generation_prompt %}
            {{ '<|assistant|>' }}
            {% endif %}
            {% endfor %}
            """, uses: ChatFamily.basics)

    static let llama2 = ChatFamily(
        name: "Llama 2",
        template: """
            {% if messages[0]['role'] == 'system' %}
              {% set turns = messages[1:] %}{% set guide = '<<SYS>>\\n' ~ messages[0]['content'].strip() ~ '\\n<</SYS>>\\n\\n' %}
            {% else %}
              {% set turns = messages %}{% set guide = false %}
            {% endif %}
            {%- for turn in turns -%}
              {%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}
                {{- raise_exception('user and assistant must take turns, at ' ~ loop.index) -}}
              {%- endif -%}
              {%- if loop.index0 == 0 and guide is not false -%}
                {%- set text = guide + turn['content'] -%}
              {%- else -%}
                {%- set text = turn['content'] -%}
              {%- endif -%}
              {%- if turn['role'] == 'user' -%}
                {{- bos_token + '[INST] ' + text.strip() + ' [/INST]' -}}
              {%- elif turn['role'] == 'assistant' -%}
                {{- ' ' + text.strip() + ' ' + eos_token -}}
              {%- endif -%}
            {%- endfor -%}
            """,
        uses: ChatFamily.basics + [.refused(ChatConversations.startsWithAssistant, "order")])

    static let llama3 = ChatFamily(
        name: "Llama 3",
        template: """
            {{- bos_token }}
            {%- if custom_tools is defined %}{% set tools = custom_tools %}{% endif %}
            {%- if tools_in_user_message is not defined %}{% set tools_in_user_message = true %}{% endif %}
            {%- if not date_string is defined %}
                {%- if strftime_now is defined %}
                    {%- set date_string = strftime_now("%d %b %Y") %}
                {%- else %}
                    {%- set date_string = "26 Jul 2024" %}
                {%- endif %}
            {%- endif %}
            {%- if not tools is defined %}{% set tools = none %}{% endif %}
            {%- if messages[0]['role'] == 'system' %}
                {%- set guide = messages[0]['content']|trim %}
                {%- set messages = messages[1:] %}
            {%- else %}
                {%- set guide = "" %}
            {%- endif %}
            {{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
            {%- if tools is not none %}{{- "Environment: ipython\\n" }}{% endif %}
            {%- if builtin_tools is defined %}
                {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
            {%- endif %}
            {{- "Cutting Knowledge Date: December 2023\\nToday Date: " + date_string + "\\n\\n" }}
            {%- if tools is not none and not tools_in_user_message %}
                {{- "These functions can be called, with JSON.\\n\\n" }}
                {%- for t in tools %}
                    {{- t | tojson(indent=4) }}
                    {{- "\\n\\n" }}
                {%- endfor %}
            {%- endif %}
            {{- guide }}
            {{- "<|eot_id|>" }}
            {%- if tools_in_user_message and not tools is none %}
                {%- if messages | length != 0 %}
                    {%- set opening = messages[0]['content']|trim %}
                    {%- set messages = messages[1:] %}
                {%- else %}
                    {{- raise_exception("No first user message to put the tools into!") }}
                {%- endif %}
                {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
                {{- "Answer with a call in JSON, as {\\"name\\": name, \\"parameters\\": arguments}.\\n\\n" }}
                {%- for t in tools %}
                    {{- t | tojson(indent=4) }}
                    {{- "\\n\\n" }}
                {%- endfor %}
                {{- opening + "<|eot_id|>"}}
            {%- endif %}
            {%- for message in messages %}
                {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
                    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
                {%- elif 'tool_calls' in message %}
                    {%- if not message.tool_calls|length == 1 %}
                        {{- raise_exception("One call at a time!") }}
                    {%- endif %}
                    {%- set call = message.tool_calls[0].function %}
                    {%- if builtin_tools is defined and call.name in builtin_tools %}
                        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
                        {{- "<|python_tag|>" + call.name + ".call(" }}
                        {%- for arg_name, arg_val in call.arguments | items %}
                            {{- arg_name + '="' ~ arg_val ~ '"' }}
                            {%- if not loop.last %}{{- ", " }}{% endif %}
                        {%- endfor %}
                        {{- ")" }}
                    {%- else  %}
                        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
                        {{- '{"name": "' + call.name + '", ' }}
                        {{- '"parameters": ' }}
                        {{- call.arguments | tojson }}
                        {{- "}" }}
                    {%- endif %}
                    {{- "<|eot_id|>" if builtin_tools is not defined else "<|eom_id|>" }}
                {%- elif message.role == "tool" or message.role == "ipython" %}
                    {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
                    {%- if message.content is mapping or message.content is iterable %}
                        {{- message.content | tojson }}
                    {%- else %}
                        {{- message.content }}
                    {%- endif %}
                    {{- "<|eot_id|>" }}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
            {%- endif %}
            """,
        uses: ChatFamily.basics + [
            .init(name: "date", messages: ChatConversations.plain, variables: ["date_string": "1 Jan 2000"]),
            ChatFamily.tools, ChatFamily.offered,
            .init(
                name: "tools in the system", messages: ChatConversations.calling,
                tools: ChatConversations.tools,
                variables: [
                    "tools_in_user_message": false, "builtin_tools": ["weather", "code_interpreter"],
                ]),
            .refused(ChatConversations.callingTwice, "two calls"),
        ])

    static let deepSeek = ChatFamily(
        name: "DeepSeek",
        template: """
            {% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system = ns.system + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system = ns.system + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}{{'<｜Assistant｜><｜calls▁begin｜>' + tool['type'] + '<｜sep｜>' + tool['function']['name'] + '\\n```json\\n' + tool['function']['arguments'] | tojson + '\\n```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['function']['name'] + (tool['function']['arguments'] | tojson)}}{%- endif %}{%- endfor %}{{'<｜calls▁end｜>'}}{%- elif message['role'] == 'assistant' %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{ '<｜Assistant｜>' + content + eos_token }}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{'<｜output▁begin｜>' + message['content'] + '<｜output▁end｜>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}
            """,
        uses: ChatFamily.basics + [ChatFamily.thinking, ChatFamily.tools, ChatFamily.twoCalls])

    static let marked = ChatFamily(
        name: "generation tags",
        template: """
            {{- bos_token }}
            {%- for message in messages %}
                {%- if message.role == 'assistant' %}
                    {{- '<|assistant|>\\n' }}
                    {%- generation %}{{- message.content ~ eos_token }}{% endgeneration %}

                    {{- '\\n' }}
                {%- else %}
                    {{- '<|' ~ message.role ~ '|>\\n' ~ message.content ~ '\\n' }}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{% endif %}
            """, uses: ChatFamily.basics + [ChatFamily.thinking])
}
