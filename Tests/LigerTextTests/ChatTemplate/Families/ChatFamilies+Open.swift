import LigerText

extension ChatFamilies {
    static let olmo2 = ChatFamily(
        name: "OLMo 2",
        template: """
            {{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\\n'  + message['content'] + eos_token + '\\n' }}{% else %}{{ '<|assistant|>\\n'  + message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}
            """, uses: ChatFamily.basics)

    static let granite = ChatFamily(
        name: "Granite 3",
        template: """
            {%- if messages[0]['role'] == 'system' %}
                {%- set system_message = messages[0]['content'] %}
                {%- set loop_messages = messages[1:] %}
            {%- else %}
                {%- set system_message = "Knowledge Cutoff Date: April 2024.\\nToday's Date: " + strftime_now('%B %d, %Y') + ".\\nYou are an assistant." %}
                {%- if tools and documents %}
                    {%- set system_message = system_message + " Use the tools and the documents." %}
                {%- elif tools %}
                    {%- set system_message = system_message + " Use the tools." %}
                {%- elif documents %}
                    {%- set system_message = system_message + " Use the documents." %}
                {%- elif thinking %}
                    {%- set system_message = system_message + " Think between <think> and </think>." %}
                {%- endif %}
                {%- if 'citations' in controls and documents %}
                    {%- set system_message = system_message + '\\nCite, as <co>1</co>.' %}
                {%- endif %}
                {%- set loop_messages = messages %}
            {%- endif %}
            {{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
            {%- if tools %}
                {{- '<|start_of_role|>available_tools<|end_of_role|>' }}
                {{- tools | tojson(indent=4) }}
                {{- '<|end_of_text|>\\n' }}
            {%- endif %}
            {%- if documents %}
                {%- for document in documents %}
                    {{- '<|start_of_role|>document {"document_id": "' + document['doc_id'] | string + '"}<|end_of_role|>\\n' }}
                    {{- document['text'] }}
                    {{- '<|end_of_text|>\\n' }}
                {%- endfor %}
            {%- endif %}
            {%- for message in loop_messages %}
                {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + (message['content'] or '') }}
                {%- if message.tool_calls %}
                    {{- '<|tool_call|>' ~ message.tool_calls | map(attribute='function') | list | tojson(indent=none) }}
                {%- endif %}
                {{- '<|end_of_text|>\\n' }}
                {%- if loop.last and add_generation_prompt %}
                    {{- '<|start_of_role|>assistant' }}
                        {%- if controls %}
                            {{- ' ' + controls | tojson()}}
                        {%- endif %}
                    {{- '<|end_of_role|>' }}
                {%- endif %}
            {%- endfor %}
            """,
        uses: ChatFamily.basics + [
            ChatFamily.tools, ChatFamily.twoCalls,
            .init(
                name: "documents", messages: ChatConversations.plain,
                variables: [
                    "documents": ChatConversations.documents,
                    "controls": ["citations": true, "length": "short"],
                ]),
            .init(name: "thinking", messages: ChatConversations.plain, variables: ["thinking": true]),
            .init(
                name: "tools and documents", messages: ChatConversations.plain,
                tools: ChatConversations.tools,
                variables: ["documents": ChatConversations.documents]),
        ])

    static let glm4 = ChatFamily(
        name: "GLM-4",
        template: """
            [gMASK]<sop>
            {%- if tools -%}
            <|system|>
            # Tools
            {% for tool in tools %}
                {%- set function = tool.function if tool.get("function") else tool %}

            ## {{ function.name }}

            {{ function | tojson(indent=4, ensure_ascii=False) }}
            Call with JSON arguments.
            {%- endfor %}
            {%- endif -%}
            {%- for msg in messages %}
                {%- if msg.role == 'system' %}
            <|system|>
            {{ msg.content }}
                {%- endif %}
            {%- endfor %}
            {%- for message in messages if message.role != 'system' %}
                {%- set role = message['role'] %}
                {%- set content = message['content'] or "" %}
                {%- set meta = message.get("metadata", "") %}
                {%- if role == 'user' %}
            <|user|>
            {{ content }}
                {%- elif role == 'assistant' and not meta %}
            <|assistant|>
            {%- if message.tool_calls %}
                {%- for tc in message.tool_calls %}
            {{ tc.function.name }}
            {{ tc.function.arguments | tojson }}
                {%- endfor %}
            {%- endif %}
            {{ (content.split('</think>')|last).strip() }}
                {%- elif role == 'tool' or role == 'observation' %}
            <|observation|>
            {{ content }}
                {%- endif %}
            {%- endfor %}
            {% if add_generation_prompt %}<|assistant|>{% endif %}
            """,
        uses: ChatFamily.basics + [ChatFamily.tools, ChatFamily.twoCalls, ChatFamily.thinking])

    /// Macros over the schema of a tool, as templates that write functions as code have them.
    static let commandLike = ChatFamily(
        name: "schemas by macros",
        template: """
            {%- macro type_of(spec, required=true) -%}
                {%- set basic = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"} -%}
                {%- if spec.type is not string and spec.type is iterable -%}
                    {%- for t in spec.type -%}{{ basic[t] }}{% if not loop.last %} | {% endif %}{%- endfor -%}
                {%- elif spec.type == "array" -%}
                    List[{{ type_of(spec["items"]) }}]
                {%- elif spec.enum -%}
                    {{ spec.enum | map('tojson') | join(' | ') }}
                {%- else -%}
                    {{ basic.get(spec.type, spec.type | default("any")) }}
                {%- endif -%}
                {%- if not required %} = {{ spec.default if spec.default is defined else "None" }}{% endif -%}
            {%- endmacro -%}
            {%- macro signature(function) -%}
                def {{ function.name }}(
                {%- for name, spec in function.parameters.properties | items -%}
                    {{ name }}: {{ type_of(spec, required=name in (function.parameters.required or [])) }}
                    {%- if not loop.last %}, {% endif %}
                {%- endfor -%}
                ): "{{ function.description | replace('"', "'") }}"
            {%- endmacro -%}
            {%- for tool in (tools or []) %}
            {{ signature(tool.function) | indent(2, first=true) }}
            {%+ endfor %}
            {%- set texts = messages | selectattr('content', 'string') | map(attribute='content') | map('trim') | list %}
            {{ texts | join(' / ') }}{{ messages | map(attribute='role') | unique | sort | join(',') }}
            {%- filter upper %} {{ messages[-1]['role'] }} {% endfilter -%}
            {% set last %}{{ texts[-1] | capitalize }}{% endset %}{{ '%s (%d)' | format(last, texts | length) }}
            {{- messages[-1].content.split() | first | title }}{{ '{}'.format(texts | count) }}
            """,
        uses: ChatFamily.basics + [ChatFamily.tools, ChatFamily.offered])
}
